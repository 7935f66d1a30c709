use gitstratum_process::RequestId;
use gitstratum_proto::control::v1::enrolment_server::Enrolment;
use gitstratum_proto::control::v1::{EnrolRequest, EnrolResponse};
use tonic::{Request, Response, Status};

use super::{Api, answer, client_addr};
use crate::enrol::{self, From};

#[tonic::async_trait]
impl Enrolment for Api {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let request_id = RequestId::random(&*self.plane.entropy);
        let from = From { request_id, client_addr: client_addr(&request) };
        let asked = request.into_inner();
        answer("enrol", request_id, enrol::enrol(&self.plane, asked, from)).await
    }
}
