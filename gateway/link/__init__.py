"""The Unix socket between a worker and the control plane: records up, acknowledgements down."""
