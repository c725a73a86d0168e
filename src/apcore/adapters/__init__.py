"""One foreign technology, one module or package. Importing apcore imports none of them."""
