//! A bird's settings as the API shows them: flat dotted keys, and `services` for kinds of which a
//! bird may have several. Those have flat aliases of the first instance too, as older clients use.
//! Where instances have numbers they are flat too, under `tcpbanner_1` and so on.

use serde_json::{Map, Value, json};

use coalmine_core::DecoyKind;

use super::{BirdPart, MAX_NUMBERED, NUMBER, ServicePart, is_numbered, standard_port};

/// The documented settings object of `bird`, reached at `address`.
pub fn settings(bird: &BirdPart, address: &str) -> Map<String, Value> {
    let mut all = device(bird, address);
    let mut services = Map::new();
    for service in &bird.services {
        let id = service.kind.id;
        if is_numbered(service.kind) {
            let key = format!("{id}.enabled");
            if all.get(&key) != Some(&Value::Bool(true)) {
                all.insert(key, Value::Bool(service.enabled));
            }
            continue;
        }
        if !service.kind.instances {
            all.extend(flat(service));
            continue;
        }
        let group = services.entry(id).or_insert_with(|| {
            all.extend(flat(service));
            json!({"enabled": false, "instance_defaults": {}, "instances": []})
        });
        if service.enabled
            && let Some(enabled) = group.get_mut("enabled")
        {
            *enabled = Value::Bool(true);
        }
        if let Some(Value::Array(instances)) = group.get_mut("instances") {
            instances.push(instance(service));
        }
    }
    let kinds = bird.services.iter().map(|service| service.kind);
    for kind in kinds.filter(|kind| is_numbered(kind)) {
        all.extend(numbered(kind, bird));
    }
    if !services.is_empty() {
        all.insert("services".to_owned(), Value::Object(services));
    }
    all
}

fn device(bird: &BirdPart, address: &str) -> Map<String, Value> {
    let device = json!({
        "device.name": bird.name,
        "device.desc": bird.description,
        "device.personality": bird.personality.id,
        "device.ippers": "linux",
        "device.mac": "00:00:00:00:00:00",
        "device.dhcp.enabled": true,
        "device.ip_address": address,
        "device.netmask": "",
        "device.gw": "",
        "device.dns1": "",
        "device.dns2": "",
        "device.ad_pubkey": "",
        "device.usermodule": [],
        "remoteupdates.enabled": false,
        "rollback.enabled": false,
        "portscan.enabled": bird.portscan.enabled,
        "portscan.ports": bird.portscan.settings.ports,
        "portscan.window_seconds": bird.portscan.settings.window_seconds,
        "portscan.slow_ports": bird.portscan.settings.slow_ports,
        "portscan.slow_window_seconds": bird.portscan.settings.slow_window_seconds,
        "firewall.enabled": false,
        "firewall.rulelist": [],
    });
    match device {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn flat(service: &ServicePart) -> impl Iterator<Item = (String, Value)> + '_ {
    let id = service.kind.id;
    [
        (format!("{id}.enabled"), Value::Bool(service.enabled)),
        (format!("{id}.port"), Value::from(service.port)),
    ]
    .into_iter()
    .chain(
        service
            .settings
            .iter()
            .map(move |(name, value)| (format!("{id}.{name}"), value.clone())),
    )
}

/// All instances of `kind` that there can be; those the bird hasn't are turned off.
fn numbered(kind: &DecoyKind, bird: &BirdPart) -> Map<String, Value> {
    let mut all = Map::new();
    for number in 1..=u16::try_from(MAX_NUMBERED).unwrap_or_default() {
        let service = bird
            .services
            .iter()
            .find(|service| std::ptr::eq(service.kind, kind) && service.number() == Some(number));
        let port = service.map_or_else(|| standard_port(kind, number), |s| s.port);
        let mut insert = |name: &str, value: Value| {
            all.insert(format!("{}_{number}.{name}", kind.id), value);
        };
        insert("enabled", service.is_some_and(|s| s.enabled).into());
        insert("port", port.into());
        for setting in (kind.settings)() {
            if setting.name != NUMBER {
                let given = service.and_then(|s| s.settings.get(setting.name));
                insert(setting.name, given.cloned().unwrap_or(setting.default));
            }
        }
    }
    all
}

fn instance(service: &ServicePart) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), Value::from(service.name.clone()));
    object.insert("enabled".to_owned(), Value::Bool(service.enabled));
    object.insert("port".to_owned(), Value::from(service.port));
    if let Some(certificate) = &service.certificate {
        // The key stays with the sensor: settings are reported and shown.
        object.insert(
            "certificate".to_owned(),
            Value::from(certificate.pem.0.clone()),
        );
    }
    for (name, value) in &service.settings {
        nest(&mut object, name, value.clone());
    }
    // As it's documented beside the path, which only this product has.
    if let Some(Value::String(path)) = service.settings.get("userwebroot") {
        let present = Value::Bool(!path.is_empty());
        object.insert("userwebroot_present".to_owned(), present);
    }
    Value::Object(object)
}

/// `headers.enabled` becomes `{"headers": {"enabled": ..}}`.
fn nest(object: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            object.insert(name.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = object
                .entry(first)
                .or_insert_with(|| Value::Object(Map::new()));
            match inner {
                Value::Object(inner) => nest(inner, rest, value),
                _ => {
                    object.insert(name.to_owned(), value);
                }
            }
        }
    }
}
