//! Certificates for servers and clients on loopback, made for one test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority, its files in a folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, in `folder`.
    ///
    /// # Panics
    /// When the file can't be written.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate of the authority");
        let authority = Self { folder: folder.join(name), issuer: Issuer::new(params, key) };
        fs::create_dir_all(&authority.folder).expect("a folder for certificates");
        fs::write(authority.certificate(), certificate.pem()).expect("the authority's certificate");
        authority
    }

    /// Its own certificate: what verifies the others.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for `name` at 127.0.0.1 and `localhost`, good for servers and clients.
    ///
    /// # Panics
    /// When the files can't be written.
    pub fn issue(&self, name: &str) -> Pair {
        self.issue_to(name, &KeyPair::generate().expect("a key"))
    }

    /// The same with an RSA key, for servers that take no other.
    ///
    /// # Panics
    /// When there is no openssl, or the files can't be written.
    pub fn issue_rsa(&self, name: &str) -> Pair {
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
            .output()
            .expect("the program openssl");
        let pem = String::from_utf8(made.stdout).expect("a key in PEM");
        self.issue_to(name, &KeyPair::from_pem(&pem).expect("a key"))
    }

    fn issue_to(&self, name: &str, key: &KeyPair) -> Pair {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, name);
        // etcd's gateway uses the server's certificate as a client of itself.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(key, &self.issuer).expect("a certificate");
        let pair = Pair {
            cert: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}-key.pem")),
        };
        fs::write(&pair.cert, certificate.pem()).expect("a certificate's file");
        fs::write(&pair.key, key.serialize_pem()).expect("a key's file");
        pair
    }
}
