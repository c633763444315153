"""The threat table as a program: each mitigation removed in a copy of the tree, and the tests that notice it."""
