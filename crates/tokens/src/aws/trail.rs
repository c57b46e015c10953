//! What CloudTrail records of the use of a key ("CloudTrail record contents" of its user guide).

use coalmine_core::Timestamp;
use coalmine_core::text;
use coalmine_core::token::CloudTouch;
use serde_json::{Map, Value};

/// Longest id of an event that is taken.
const MAX_ID: usize = 128;

/// A record as a touch of the token with this key; `None` where it's another key's, or no record.
pub fn touch(record: &Value, access_key: &str) -> Option<CloudTouch> {
    let identity = record.get("userIdentity")?;
    if identity.get("accessKeyId")?.as_str()? != access_key {
        return None;
    }
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let id = text("eventID").filter(|id| !id.is_empty() && id.len() <= MAX_ID)?;
    let at: jiff::Timestamp = text("eventTime")?.parse().ok()?;
    let source = text("eventSource").unwrap_or_default();
    let service = source.strip_suffix(".amazonaws.com").unwrap_or(source);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), text::cut(value).into());
        }
    };
    put("access_key_id", Some(access_key));
    put(
        "account_id",
        identity.get("accountId").and_then(Value::as_str),
    );
    put("eventName", Some(text("eventName").unwrap_or_default()));
    put("service", Some(service));
    put("region", text("awsRegion"));
    put("user_agent", text("userAgent"));
    put("source_address", text("sourceIPAddress"));
    put("error_code", text("errorCode"));
    put("cloudtrail_event_id", Some(id));
    put("safety_net", Some("False"));
    Some(CloudTouch {
        id: id.to_owned(),
        at: Timestamp::from_secs(at.as_second()),
        source: text("sourceIPAddress").and_then(|ip| ip.parse().ok()),
        fields,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_of_the_key_is_a_touch_and_no_other() {
        let record = json!({
            "eventVersion": "1.08",
            "userIdentity": {"type": "IAMUser", "principalId": "AIDAX", "arn": "arn:aws:iam::557208331452:user/x",
                "accountId": "557208331452", "accessKeyId": "AKIAYDHQ5ZVJWTXKE4LM", "userName": "x"},
            "eventTime": "2026-11-22T10:15:00Z",
            "eventSource": "sts.amazonaws.com",
            "eventName": "GetCallerIdentity",
            "awsRegion": "us-east-1",
            "sourceIPAddress": "198.51.100.7",
            "userAgent": "aws-cli/2.15.0",
            "errorCode": "AccessDenied",
            "eventID": "7a1c7c4e-5d4f-4a0e-9d8a-6d5d9a2f3b10",
        });
        let touch_of = |record: &Value| touch(record, "AKIAYDHQ5ZVJWTXKE4LM");
        let touch = touch_of(&record).unwrap();
        assert_eq!(touch.id, "7a1c7c4e-5d4f-4a0e-9d8a-6d5d9a2f3b10");
        assert_eq!(touch.at.std(), "2026-11-22 10:15:00 UTC+0000");
        assert_eq!(touch.source, Some([198, 51, 100, 7].into()));
        assert_eq!(
            Value::Object(touch.fields),
            json!({"access_key_id": "AKIAYDHQ5ZVJWTXKE4LM", "account_id": "557208331452",
                "eventName": "GetCallerIdentity", "service": "sts", "region": "us-east-1",
                "user_agent": "aws-cli/2.15.0", "source_address": "198.51.100.7",
                "error_code": "AccessDenied", "safety_net": "False",
                "cloudtrail_event_id": "7a1c7c4e-5d4f-4a0e-9d8a-6d5d9a2f3b10"})
        );
        let with = |name: &str, value: Value| {
            let mut record = record.clone();
            record[name] = value;
            touch_of(&record)
        };
        let service = with("sourceIPAddress", json!("config.amazonaws.com")).unwrap();
        assert_eq!(service.source, None);
        assert_eq!(with("eventID", json!("")), None);
        assert_eq!(with("eventTime", json!("soon")), None);
        assert_eq!(
            with("userIdentity", json!({"accessKeyId": "AKIAOTHER"})),
            None
        );
        assert_eq!(touch_of(&json!([])), None);
    }
}
