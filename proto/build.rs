//! Compiles the interface without a `protoc` on the machine.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut sources: Vec<String> = fs::read_dir("milvus")?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, std::io::Error>>()?;
    sources.sort();
    sources.push("peer.proto".to_owned());
    println!("cargo::rerun-if-changed=milvus");
    println!("cargo::rerun-if-changed=peer");

    let mut descriptors = protox::compile(&sources, ["milvus", "peer"])?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // prost-types carries these already, and its generator trips over newer editions' enums.
    descriptors.file.retain(|file| !file.name().starts_with("google/"));
    for value in descriptors.file.iter_mut().flat_map(|file| &mut file.enum_type).flat_map(|e| &mut e.value) {
        // GcCommand's zero value, no Rust identifier as it stands.
        if value.name() == "_" {
            value.name = Some("Unspecified".to_owned());
        }
    }
    tonic_prost_build::configure()
        // `Connect` is a method of the proxy; the generated constructor of that name would clash.
        .build_transport(false)
        // A role serves what it has so far; the rest answers Unimplemented.
        .generate_default_stubs(true)
        .include_file("interface.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
