"""What tests of several kinds share: real catalogs, their ground truth, and real ZenML releases."""
