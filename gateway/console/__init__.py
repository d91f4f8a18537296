"""What people and scripts see of the store: pages, API, health. Reads; never touches the relay."""
