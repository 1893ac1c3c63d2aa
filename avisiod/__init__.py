"""avisiod: the appliance between the SIP video phones of a prison and the browsers of families."""

__version__ = "0.1.0"
