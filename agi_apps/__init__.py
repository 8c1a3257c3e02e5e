"""FastAGI server and the call applications of Entryphone: they decide, the dialplan dials."""
