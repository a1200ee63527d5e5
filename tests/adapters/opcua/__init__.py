"""The OPC UA adapter, against node-opcua and, for exotic values, asyncua's own server in another process."""
