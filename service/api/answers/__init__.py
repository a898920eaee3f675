"""The types of what routes answer. OpenAPI's schemas are made from them, and tests hold answers to these.

Routes send what they have as it is: an answer of a million rows is not validated while it is sent.
"""
