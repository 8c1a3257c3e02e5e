"""What the API answers: one model for each document.

Answers are not built from these models (that would cost time): the tests hold every answer against them, and the
OpenAPI document is made from them.
"""
