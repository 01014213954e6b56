"""Several models compiled together: joined call by call, with what decides at the end. Imports build."""
