use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use gitstratum_process::Task;
use tokio::sync::mpsc;
use tonic::Status;

/// The messages of a task that ends with its reader.
pub(crate) struct TaskStream<T> {
    messages: mpsc::Receiver<Result<T, Status>>,
    _task: Task<()>,
}

impl<T> TaskStream<T> {
    pub(crate) fn new(messages: mpsc::Receiver<Result<T, Status>>, task: Task<()>) -> Self {
        Self { messages, _task: task }
    }
}

impl<T> Stream for TaskStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(cx)
    }
}
