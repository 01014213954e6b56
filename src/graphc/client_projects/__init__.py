"""Small projects that stream one compiled model in the language of the device. Imports the Python client."""
