"""Connect apcore to foreign technologies: one module or package for each. Importing apcore imports none of them."""
