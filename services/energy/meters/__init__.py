"""Sources of energy readings, by kind and vendor, behind one Protocol."""
