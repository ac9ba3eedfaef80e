"""What a gateway answers over HTTPS, one module per resource. Routes read the request, ask, and write the answer."""
