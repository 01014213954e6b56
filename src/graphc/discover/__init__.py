"""What a lift would find in a model without a spec, and a first spec for it. Imports stream."""
