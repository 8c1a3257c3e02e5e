"""The applications: one file, one function, one URL, one dialplan word."""
