"""The questions that rules ask of formulas; each answer is the set of lengths at which it is not so."""
