//! The OpenAPI 3.1 document, made from the table of endpoints.

use serde_json::{Map, Value, json};

use super::table::{Endpoint, GROUPS, Needs, Param, Takes, Verb};
use crate::Catalogue;

/// Path of the document below `/api/v1/`.
pub const PATH: &str = "openapi.json";

/// The OpenAPI document of this version. Needs no running Console.
pub fn openapi(catalogue: &Catalogue, version: &str) -> Value {
    let kinds: Vec<&str> = catalogue.tokens.iter().map(|kind| kind.id).collect();
    let mut paths = Map::new();
    for (group, endpoints) in GROUPS {
        for endpoint in *endpoints {
            let path = paths
                .entry(format!("/api/v1/{}", endpoint.path))
                .or_insert_with(|| Value::Object(Map::new()));
            for verb in endpoint.methods {
                path[verb.name().to_ascii_lowercase()] = operation(endpoint, *verb, group, &kinds);
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Coalmine Console API",
            "version": version,
            "description": "Compatible with the public Canary Console API. Parameters are taken \
                from the query and from the body on every method; of a repeated one the first \
                value counts. Every JSON answer is an object with `result`.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": GROUPS.iter().map(|(name, _)| json!({"name": name})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "X-Canary-Auth-Token"},
                "parameter": {"type": "apiKey", "in": "query", "name": "auth_token"},
                "factory": {"type": "apiKey", "in": "query", "name": "factory_auth"},
            },
            "schemas": {
                "Success": {
                    "type": "object",
                    "description": "The endpoint's own keys, and the result.",
                    "required": ["result"],
                    "properties": {"result": {"type": "string", "enum": ["success", "failure"]}},
                    "additionalProperties": true,
                },
                "Error": {
                    "type": "object",
                    "required": ["message", "result"],
                    "properties": {
                        "message": {"type": "string"},
                        "result": {"type": "string", "const": "error"},
                    },
                    "additionalProperties": false,
                },
            },
            "responses": {
                "Error": {
                    "description": "Why it was refused.",
                    "content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/Error"},
                    }},
                },
            },
        },
    })
}

fn operation(endpoint: &Endpoint, verb: Verb, group: &str, kinds: &[&str]) -> Value {
    let mut operation = json!({
        "operationId": format!("{}_{}", verb.name().to_ascii_lowercase(),
            endpoint.path.replace(['/', '.'], "_")),
        "tags": [group],
        "summary": endpoint.doc.lines().next().unwrap_or_default(),
        "description": endpoint.doc,
        "security": security(endpoint.needs),
        "responses": responses(endpoint),
    });
    let whole = verb == Verb::Post && !endpoint.params.is_empty();
    if let Some(object) = operation.as_object_mut() {
        if whole {
            let body = form(endpoint.params, kinds);
            object.insert(
                "requestBody".to_owned(),
                json!({
                    "required": endpoint.params.iter().any(|param| param.required),
                    "content": {
                        "application/x-www-form-urlencoded": {"schema": body},
                        "multipart/form-data": {"schema": body},
                    },
                }),
            );
        } else {
            let parameters: Vec<Value> = endpoint
                .params
                .iter()
                .map(|param| {
                    json!({
                        "name": param.name,
                        "in": "query",
                        "required": param.required,
                        "description": param.doc,
                        "schema": schema(param, kinds),
                    })
                })
                .collect();
            object.insert("parameters".to_owned(), parameters.into());
        }
    }
    operation
}

fn security(needs: Needs) -> Value {
    match needs {
        Needs::Nothing => json!([]),
        Needs::Factory => json!([{"factory": []}]),
        _ => json!([{"header": []}, {"parameter": []}]),
    }
}

fn responses(endpoint: &Endpoint) -> Value {
    let content = if endpoint.path.ends_with("download") {
        json!({"application/octet-stream": {}})
    } else {
        json!({"application/json": {"schema": {"$ref": "#/components/schemas/Success"}}})
    };
    let mut responses = json!({"200": {"description": "It worked.", "content": content}});
    let error = json!({"$ref": "#/components/responses/Error"});
    let mut statuses = vec!["400", "404", "405", "408", "413", "500"];
    if endpoint.needs != Needs::Nothing {
        statuses.extend(["401", "403", "429"]);
    }
    if endpoint.needs.changes() {
        statuses.push("409");
    }
    if let Some(object) = responses.as_object_mut() {
        for status in statuses {
            object.insert(status.to_owned(), error.clone());
        }
    }
    responses
}

fn form(params: &[Param], kinds: &[&str]) -> Value {
    let properties: Map<String, Value> = params
        .iter()
        .map(|param| {
            let mut schema = schema(param, kinds);
            if let Some(object) = schema.as_object_mut() {
                object.insert("description".to_owned(), param.doc.into());
            }
            (param.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = params
        .iter()
        .filter(|param| param.required)
        .map(|param| param.name)
        .collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn schema(param: &Param, kinds: &[&str]) -> Value {
    let mut schema = match param.takes {
        Takes::Text(_) if param.name == "kind" && !kinds.is_empty() => {
            json!({"type": "string", "enum": kinds})
        }
        Takes::Text(most) => json!({"type": "string", "maxLength": most}),
        Takes::Number => json!({"type": "integer", "minimum": 0, "format": "int64"}),
        Takes::Flag => json!({"type": "boolean"}),
        Takes::Word(words) => json!({"type": "string", "enum": words}),
        Takes::Instant => json!({
            "type": "string",
            "pattern": r"^\d{4}-\d{2}-\d{2}-\d{2}:\d{2}:\d{2}$",
            "examples": ["2026-01-31-23:59:59"],
        }),
        Takes::Span => json!({"type": "string", "pattern": "^[0-9]+[hdw]$", "examples": ["4h"]}),
        Takes::Zone => json!({"type": "string", "examples": ["UTC"]}),
        Takes::Address => json!({"type": "string", "examples": ["192.0.2.1"]}),
    };
    if param.required
        && matches!(param.takes, Takes::Text(_))
        && let Some(object) = schema.as_object_mut()
    {
        object.insert("minLength".to_owned(), 1.into());
    }
    if !param.default.is_empty() {
        let value = match param.takes {
            Takes::Flag => json!(param.default == "true"),
            Takes::Number => param
                .default
                .parse::<i64>()
                .map_or(Value::Null, Value::from),
            _ => param.default.into(),
        };
        if let Some(object) = schema.as_object_mut() {
            object.insert("default".to_owned(), value);
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::table;

    fn document() -> Value {
        let catalogue = Catalogue {
            events: vec![],
            decoys: vec![],
            tokens: &[],
        };
        openapi(&catalogue, "1.2.3")
    }

    #[test]
    fn every_endpoint_and_method_is_in_it_with_its_parameters() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let all: std::collections::HashSet<_> = table::endpoints().map(|e| e.path).collect();
        assert_eq!(paths.len(), all.len());
        for endpoint in table::endpoints() {
            for verb in endpoint.methods {
                let method = verb.name().to_ascii_lowercase();
                let operation = &paths[&format!("/api/v1/{}", endpoint.path)][&method];
                assert!(
                    !operation["summary"].as_str().unwrap().is_empty(),
                    "{}",
                    endpoint.path
                );
                let text = operation.to_string();
                for param in endpoint.params {
                    assert!(text.contains(&format!("\"{}\"", param.name)));
                    assert!(!param.doc.is_empty(), "{} {}", endpoint.path, param.name);
                }
            }
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let document = document();
        let mut seen = std::collections::HashSet::new();
        for methods in document["paths"].as_object().unwrap().values() {
            for operation in methods.as_object().unwrap().values() {
                assert!(seen.insert(operation["operationId"].as_str().unwrap().to_owned()));
            }
        }
    }
}
