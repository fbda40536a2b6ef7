"""Signatures of loader programs: keys, certificates, CMS, keyrings of the kernel."""
