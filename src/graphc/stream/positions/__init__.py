"""Constants that follow the frame's place, made from the clock in each call. Imports scores."""
