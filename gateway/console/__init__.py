"""The console: what people see of a hub in a browser.

Pages are made on the server and can be read without scripts.
"""
