"""Files as messages, wherever a folder is: what a local folder and one on an SFTP server have in common.

``folder`` is the port that an adapter implements, ``options`` what an operator writes, ``readiness``
and ``naming`` are pure rules, ``pickup`` the source and ``delivery`` the sink over the port.
"""
