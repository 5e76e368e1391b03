"""The services of a cluster as processes of one machine: `make stack`, `make stack-stop`."""
