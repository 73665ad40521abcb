"""HTTP semantics: request bodies and headers, problem documents, the OpenAPI document."""
