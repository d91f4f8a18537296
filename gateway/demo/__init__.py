"""The built-in model and sample traffic: a gateway can be tried, and tested, without a key. Knows no other room."""
