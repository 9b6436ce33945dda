"""Manifests for Kubernetes, as files (docs/kubernetes.md); of code, only what makes one of them from another file."""
