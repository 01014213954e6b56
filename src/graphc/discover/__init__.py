"""What a lift would find in a model that has no spec yet, and a first spec for it. Imports stream."""
