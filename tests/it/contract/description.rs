//! GitHub's description of itself (OpenAPI 3.0 for REST, 3.1 for webhooks), compiled piece by piece: the whole is
//! 13 MB, a test needs a few dozen schemas of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

pub struct Description {
    pub document: Value,
    /// Method and template, split at slashes.
    operations: Vec<(String, Vec<String>)>,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

/// One operation.
pub struct Operation {
    pub template: String,
    pub pointer: String,
}

impl Description {
    pub fn rest() -> &'static Self {
        static REST: OnceLock<Description> = OnceLock::new();
        REST.get_or_init(|| Self::load("GODWIT_TEST_GITHUB_OPENAPI", "@octokit/openapi"))
    }

    pub fn webhooks() -> &'static Self {
        static HOOKS: OnceLock<Description> = OnceLock::new();
        HOOKS.get_or_init(|| Self::load("GODWIT_TEST_GITHUB_OPENAPI_WEBHOOKS", "@octokit/openapi-webhooks"))
    }

    fn load(variable: &str, package: &str) -> Self {
        let path = std::env::var(variable)
            .unwrap_or_else(|_| panic!("set {variable} to generated/api.github.com.json of npm's {package}"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{variable} names {path}: {e}"));
        let document: Value = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{path} is not JSON: {e}"));
        let operations = document["paths"]
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(template, methods)| {
                let segments: Vec<String> = template.trim_matches('/').split('/').map(str::to_owned).collect();
                let verbs = methods.as_object().into_iter().flatten().map(|(verb, _)| verb.to_uppercase());
                verbs.map(move |verb| (verb, segments.clone())).collect::<Vec<_>>()
            })
            .collect();
        Self { document, operations, compiled: Mutex::default() }
    }

    /// The operation that a path belongs to: the one with most literal segments. Only a last `{path}`, `{ref}`,
    /// `{branch}` or `{basehead}` takes several segments.
    pub fn operation(&self, method: &str, path: &str) -> Option<Operation> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let fits = |template: &[String]| {
            let swallows = template
                .last()
                .is_some_and(|last| ["{path}", "{ref}", "{branch}", "{basehead}"].contains(&last.as_str()));
            let lengths = segments.len() == template.len() || (swallows && segments.len() > template.len());
            lengths && template.iter().zip(&segments).all(|(t, s)| t.starts_with('{') || t == s)
        };
        let best = self
            .operations
            .iter()
            .filter(|(verb, template)| verb == method && fits(template))
            .max_by_key(|(_, template)| template.iter().filter(|s| !s.starts_with('{')).count())?;
        let template = format!("/{}", best.1.join("/"));
        let pointer = format!("/paths/{}/{}", escape(&template), method.to_lowercase());
        Some(Operation { template, pointer })
    }

    /// Follows `$ref` within the document; gives the pointer of what it names too.
    fn follow(&self, pointer: String) -> Option<(String, &Value)> {
        let value = self.document.pointer(&pointer)?;
        match value["$ref"].as_str() {
            Some(reference) => self.follow(reference.trim_start_matches('#').to_owned()),
            None => Some((pointer, value)),
        }
    }

    pub fn query_problems(&self, operation: &Operation, query: &str) -> Vec<String> {
        let declared = self.document.pointer(&format!("{}/parameters", operation.pointer));
        let mut parameters = BTreeMap::new();
        for index in 0..declared.and_then(Value::as_array).map_or(0, Vec::len) {
            let Some((pointer, parameter)) = self.follow(format!("{}/parameters/{index}", operation.pointer)) else {
                continue;
            };
            if parameter["in"] == "query" {
                parameters.insert(parameter["name"].as_str().unwrap_or_default().to_owned(), (pointer, parameter));
            }
        }
        let mut found = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let Some((pointer, parameter)) = parameters.get(name.as_ref()) else {
                found.push(format!("query parameter `{name}` is unknown"));
                continue;
            };
            let schema = &parameter["schema"];
            let typed = match schema["type"].as_str() {
                Some("integer") => value.parse::<i64>().map_or(json!(value), |n| json!(n)),
                Some("boolean") => value.parse::<bool>().map_or(json!(value), |b| json!(b)),
                _ => json!(value),
            };
            found.extend(self.schema_problems(&format!("{pointer}/schema"), schema, &typed));
        }
        found
    }

    pub fn request_problems(&self, operation: &Operation, body: Option<&Value>) -> Vec<String> {
        let Some((pointer, request)) = self.follow(format!("{}/requestBody", operation.pointer)) else {
            return if body.is_some_and(|b| *b != json!({}) && !b.is_null()) {
                vec!["a body is sent and none is described".to_owned()]
            } else {
                Vec::new()
            };
        };
        let Some(body) = body else {
            return if request["required"] == true { vec!["the request has no body".to_owned()] } else { Vec::new() };
        };
        let Some((pointer, schema)) = self.follow(format!("{pointer}/content/application~1json/schema")) else {
            return Vec::new();
        };
        let mut found: Vec<String> =
            self.schema_problems(&pointer, schema, body).into_iter().map(|p| format!("request: {p}")).collect();
        let known = self.properties(&pointer);
        if let (Some(body), false) = (body.as_object(), known.is_empty()) {
            let unknown = body.keys().filter(|k| !known.contains(*k));
            found.extend(unknown.map(|k| format!("request: field `{k}` is unknown to GitHub")));
        }
        found
    }

    /// Names of the properties of a schema and of its alternatives.
    fn properties(&self, pointer: &str) -> BTreeSet<String> {
        let Some((pointer, schema)) = self.follow(pointer.to_owned()) else { return BTreeSet::new() };
        let mut names: BTreeSet<String> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        for word in ["oneOf", "anyOf", "allOf"] {
            for index in 0..schema[word].as_array().map_or(0, Vec::len) {
                names.extend(self.properties(&format!("{pointer}/{word}/{index}")));
            }
        }
        names
    }

    pub fn response_problems(&self, operation: &Operation, status: u16, body: Option<&Value>) -> Vec<String> {
        let described = self.follow(format!("{}/responses/{status}", operation.pointer));
        let Some((pointer, response)) = described else {
            // Refusals that any operation may give have GitHub's usual shape.
            let usual = matches!(status, 301 | 304 | 307 | 400 | 401 | 403 | 404 | 405 | 422 | 429 | 500..=599);
            let worded = status == 304 || body.is_some_and(|b| b["message"].is_string());
            return if usual && worded { Vec::new() } else { vec![format!("status {status} is not described")] };
        };
        match (self.follow(format!("{pointer}/content/application~1json/schema")), body) {
            (Some((pointer, schema)), Some(body)) => {
                let problems = self.schema_problems(&pointer, schema, body).into_iter();
                problems.map(|p| format!("{status}: {p}")).collect()
            }
            (Some(_), None) => vec![format!("{status}: the answer has no body")],
            (None, Some(body)) if response["content"].is_null() && status < 300 && *body != json!({}) => {
                vec![format!("{status}: a body is answered and none is described")]
            }
            (None, _) => Vec::new(),
        }
    }

    pub fn schema_problems(&self, pointer: &str, schema: &Value, instance: &Value) -> Vec<String> {
        let validator = {
            let mut compiled = self.compiled.lock().unwrap();
            let make = || Arc::new(self.compile(schema).unwrap_or_else(|e| panic!("{pointer}: {e}")));
            compiled.entry(pointer.to_owned()).or_insert_with(make).clone()
        };
        validator
            .iter_errors(instance)
            .map(|error| {
                let text: String =
                    error.to_string().chars().rev().take(220).collect::<Vec<_>>().into_iter().rev().collect();
                // Array positions vary from run to run and say nothing.
                let place: Vec<String> = error
                    .instance_path()
                    .to_string()
                    .split('/')
                    .map(|s| if s.parse::<usize>().is_ok() { "*".to_owned() } else { s.to_owned() })
                    .collect();
                format!("at {}: …{text}", place.join("/"))
            })
            .collect()
    }

    /// A schema with all that it refers to, in the words of JSON Schema.
    fn compile(&self, schema: &Value) -> Result<Validator, String> {
        let mut definitions = Map::new();
        let mut root = schema.clone();
        let mut todo = translate(&mut root);
        while let Some(name) = todo.pop() {
            if definitions.contains_key(&name) {
                continue;
            }
            let mut part = self.document["components"]["schemas"][&name].clone();
            let more = translate(&mut part);
            definitions.insert(name, part);
            todo.extend(more);
        }
        let whole =
            json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [root], "$defs": definitions });
        jsonschema::options().build(&whole).map_err(|e| e.to_string())
    }
}

fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// OpenAPI's `nullable` and references become JSON Schema's; gives the names of the schemas referred to.
fn translate(schema: &mut Value) -> Vec<String> {
    let mut names = Vec::new();
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|i| names.extend(translate(i))),
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                if let Some(name) = reference.strip_prefix("#/components/schemas/") {
                    let name = name.to_owned();
                    *reference = format!("#/$defs/{name}");
                    names.push(name);
                }
                return names;
            }
            map.values_mut().for_each(|v| names.extend(translate(v)));
            if map.get("nullable") == Some(&Value::Bool(true)) {
                map.remove("nullable");
                let inner = std::mem::take(map);
                map.insert("anyOf".to_owned(), json!([inner, { "type": "null" }]));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    names
}
