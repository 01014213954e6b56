"""One form for what exporters write in many ways: rewritten before rules look. Imports lowering."""
