"""The far side of every provider with a web API: small servers on loopback that speak its protocol.

One module a provider, named `<channel>_<provider>`, with a `COUNTERPART`; test_contract.py finds it by that name.
"""
