//! The standard reflection service, in both of its versions: lets grpcurl call a
//! server whose interface it doesn't know.

use milvus_proto::DESCRIPTORS;
use tonic_reflection::server::Builder;

use super::Services;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReflectionError(#[from] tonic_reflection::server::Error);

/// Offers what is offered so far, and itself.
pub(super) fn add(services: Services) -> Result<Services, ReflectionError> {
    let builder = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.reflection.v1.ServerReflection")
            .with_service_name("grpc.reflection.v1alpha.ServerReflection");
        services.names().fold(builder, Builder::with_service_name)
    };
    let (v1, v1alpha) = (builder().build_v1()?, builder().build_v1alpha()?);
    Ok(services.add(v1, false).add(v1alpha, false))
}
