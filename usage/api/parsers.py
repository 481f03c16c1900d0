"""The JSON parser of the API."""

from rest_framework.parsers import JSONParser


class LenientJSONParser(JSONParser):
    """JSON in which NaN and Infinity parse, so that the field that holds one can be named."""

    strict = False
