//! Signatures after Standard Webhooks 1.0 (standardwebhooks.com), symmetric: by them a receiver knows that
//! what it got was sent here, unchanged and not long ago. A test holds them to the crate of that name.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The value of `webhook-signature`: `v1,` and the HMAC-SHA256 of id, time (seconds since 1970) and body, in
/// base64; one for each secret, separated by spaces, so that a receiver may change to a new secret in its
/// own time.
pub(super) fn signatures(
    secrets: &[Vec<u8>],
    message_id: &str,
    timestamp_s: i64,
    body: &str,
) -> String {
    let sign = |secret: &Vec<u8>| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
        mac.update(format!("{message_id}.{timestamp_s}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        // The example of the specification's reference implementations.
        let secret = BASE64_STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .expect("base64");
        let signed = signatures(
            std::slice::from_ref(&secret),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signatures(&[secret, vec![1; 32]], "msg_1", 0, "{}");
        assert_eq!(both.split(' ').count(), 2);
    }
}
