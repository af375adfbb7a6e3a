//! OpenTelemetry's standard variables: where traces go. They are not settings of ours, and none of them is needed.

use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use crate::telemetry::Traces;

/// What such variables begin with.
pub(super) const PREFIX: &str = "OTEL_";

const DISABLED: &str = "OTEL_SDK_DISABLED";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const SERVICE: &str = "OTEL_SERVICE_NAME";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Reads them; `None`: nobody asked for traces. What cannot be used is a warning, never a mistake, and is not quoted.
pub(super) fn read(reader: &mut Reader) -> Option<Traces> {
    let disabled = reader.variable(DISABLED).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let (name, text, path) = match (reader.variable(TRACES_ENDPOINT), reader.variable(ENDPOINT)) {
        (Some(text), _) => (TRACES_ENDPOINT, text, ""),
        (None, Some(text)) => (ENDPOINT, text, "/v1/traces"),
        (None, None) => return None,
    };
    if disabled {
        return None;
    }
    let good = Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty());
    if !good {
        reader.warn(format!("{name} is no http:// or https:// address, so no traces are sent"));
        return None;
    }
    if let Some(protocol) = PROTOCOLS.iter().find_map(|name| reader.variable(name))
        && protocol != "http/protobuf"
    {
        reader.warn("traces are sent as http/protobuf, whatever OTEL_EXPORTER_OTLP_PROTOCOL says: name that port of the collector");
    }
    let headers = HEADERS.iter().find_map(|name| reader.variable(name)).unwrap_or_default();
    let attributes = pairs(&reader.variable(ATTRIBUTES).unwrap_or_default());
    let named = attributes.iter().find(|(name, _)| name == "service.name").map(|(_, value)| value.clone());
    Some(Traces {
        endpoint: format!("{}{path}", text.trim_end_matches('/')),
        headers: pairs(&headers).into_iter().map(|(name, value)| (name, SecretString::from(value))).collect(),
        service: reader.variable(SERVICE).or(named).unwrap_or_else(|| "cistern".to_owned()),
        attributes,
    })
}

/// Reads `name=value,name=value`, values percent-encoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.trim().to_owned(), decode(value)));
    text.split(',').filter_map(pair).filter(|(name, _)| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Flags, Needs, Surroundings};

    fn load(variables: &[(&str, &str)]) -> Config {
        let around = Surroundings::new(variables.iter().copied(), |_| Err(std::io::ErrorKind::NotFound.into()));
        Config::load(&Flags::default(), &around, Needs::Nothing).expect("no mistakes")
    }

    #[test]
    fn traces_go_where_the_standard_variables_say() {
        assert!(load(&[("OTEL_SERVICE_NAME", "ci")]).traces.is_none());
        let traces =
            load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/"), ("OTEL_RESOURCE_ATTRIBUTES", "a=b%20c,d=e")])
                .traces;
        let traces = traces.expect("an endpoint");
        assert_eq!((traces.endpoint.as_str(), traces.service.as_str()), ("http://c:4318/v1/traces", "cistern"));
        assert_eq!(traces.attributes[0].1, "b c");
        let own = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret"),
            ("OTEL_SERVICE_NAME", "ci"),
        ];
        let traces = load(&own).traces.expect("an endpoint");
        assert_eq!((traces.endpoint.as_str(), traces.service.as_str()), ("https://t/x", "ci"));
        assert!(!format!("{traces:?}").contains("s3cret"));
        let disabled = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SDK_DISABLED", "TRUE")];
        assert!(load(&disabled).traces.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_warned_of_and_not_quoted() {
        let config = load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://s3cret")]);
        let warnings = config.warnings().join("\n");
        assert!(
            config.traces.is_none() && warnings.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && !warnings.contains("s3cret")
        );
        let config = load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(config.traces.is_some() && config.warnings().join("").contains("http/protobuf"));
    }
}
