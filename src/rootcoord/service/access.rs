//! Users and grants, as proxies ask for them.

use milvus_proto::{
    common::{ErrorCode, Status as Answer},
    internal::{ListPolicyRequest, ListPolicyResponse},
    rootcoord::{GetCredentialRequest, GetCredentialResponse},
};
use tonic::{Request, Response};

use super::{Asked, Outcome, RootCoordService};
use crate::rpc::merr::{MilvusError, success};

impl RootCoordService {
    pub(super) async fn get_credential(
        &self,
        request: Request<GetCredentialRequest>,
    ) -> Outcome<GetCredentialResponse> {
        let (asked, arrived) = (Asked::of(&request), self.parts.clock.boot());
        let failed = |error: MilvusError| GetCredentialResponse {
            status: Some(error.into()),
            ..GetCredentialResponse::default()
        };
        if asked.not_ready {
            return Ok(Response::new(failed(self.not_ready())));
        }
        let user = &request.get_ref().username;
        let found = self.parts.core.credential(arrived, user).await.map(|found| match found {
            Ok(credential) => GetCredentialResponse {
                status: Some(success()),
                username: credential.user,
                password: credential.encrypted_password,
            },
            Err(missing) => GetCredentialResponse {
                status: Some(legacy(&MilvusError::from(&missing), ErrorCode::GetCredentialFailure)),
                ..GetCredentialResponse::default()
            },
        });
        self.answer(&asked, found, failed)
    }

    pub(super) async fn list_policy(
        &self,
        request: Request<ListPolicyRequest>,
    ) -> Outcome<ListPolicyResponse> {
        let (asked, arrived) = (Asked::of(&request), self.parts.clock.boot());
        let failed = |error: MilvusError| ListPolicyResponse {
            status: Some(error.into()),
            ..ListPolicyResponse::default()
        };
        if asked.not_ready {
            return Ok(Response::new(failed(self.not_ready())));
        }
        let listed = self.parts.core.list_policy(arrived).await.map(|policy| ListPolicyResponse {
            status: Some(success()),
            policy_infos: policy.infos,
            user_roles: policy.user_roles,
        });
        self.answer(&asked, listed, failed)
    }
}

/// With the old code of the method, and no detail, as in Milvus.
#[expect(deprecated, reason = "2.3 components still read the old code")]
fn legacy(error: &MilvusError, code: ErrorCode) -> Answer {
    Answer {
        error_code: code.into(),
        code: error.code(),
        reason: error.to_string(),
        retriable: false,
        ..Answer::default()
    }
}
