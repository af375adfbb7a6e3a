//! The shapes of well-known secrets.

/// Tokens: their prefix tells them apart from anything else.
const TOKENS: &[&str] = &[
    // GitLab: personal, OAuth secret, deploy, runner, job, trigger, feed, mail, agent, workspace, SCIM, feature flags.
    r"gl(?:pat|oas|dt|rtr|rt|cbt|ptt|ft|imt|agent|wt|soat|ffct)-[0-9A-Za-z_=.-]{20,}",
    // GitLab's runner registration tokens, and the signing tokens of webhooks.
    r"GR1348941[0-9A-Za-z_-]{20,}",
    r"whsec_[0-9A-Za-z+/=]{20,}",
    // GitHub.
    r"gh[pousr]_[0-9A-Za-z]{36,}",
    r"github_pat_[0-9A-Za-z_]{22,}",
    // AWS: key ids by their shape, secret keys by their name.
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    r#"(?i:aws_secret_access_key|aws_session_token)["']?\s{0,8}[=:]\s{0,8}["']?[0-9A-Za-z/+=]{40,}"#,
    // Google, Slack, Stripe, SendGrid, npm, PyPI, Docker, Vault, DigitalOcean.
    r"AIza[0-9A-Za-z_-]{35}",
    r"xox[abeoprs]-[0-9A-Za-z-]{10,}",
    r"(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}",
    r"SG\.[0-9A-Za-z_-]{20,}\.[0-9A-Za-z_-]{40,}",
    r"npm_[0-9A-Za-z]{36}",
    r"pypi-AgE[0-9A-Za-z_-]{50,}",
    r"dckr_pat_[0-9A-Za-z_-]{20,}",
    r"hv[sb]\.[0-9A-Za-z_-]{24,}",
    r"do[pot]_v1_[0-9a-f]{64}",
    // JSON Web Tokens.
    r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}",
];

/// How a private key begins; it is masked to its end, whatever a runner wrote before each of its lines.
pub(super) const KEY_BEGINS: &str = r"-----BEGIN (?:[0-9A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----";

/// How it ends.
pub(super) const KEY_ENDS: &str = r"-----END (?:[0-9A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----";

/// The longest such line.
pub(super) const KEY_LINE_BYTES: usize = 256;

/// Returns the expression of all of them.
pub(super) fn expression() -> String {
    let (tokens, key) = (TOKENS.join("|"), KEY_BEGINS);
    format!(r"(?-u:\b(?:{tokens})|{key})")
}
