//! The messages of one channel, in the order in which they were given.
//!
//! One is on its way at a time. When a connection breaks before the acknowledgement, the
//! client connects and sends again, so a message may be in its topic twice, one right after
//! the other; never is it there again after a later one.

use std::{sync::Arc, time::Duration};

use pulsar::{
    Error, Producer, ProducerOptions,
    compression::{Compression, CompressionZstd},
    producer::Message as Outgoing,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    access::Access,
    executor::Tasks,
    outcome::message_id,
    session::{Numbered, Session},
};
use crate::{
    clock::BootInstant,
    mq::{MESSAGE_TIMEOUT, Message, MessageId, QueueError},
};

/// How many messages may wait in a line.
const LENGTH: usize = 4096;

/// A message whose turn comes later than this after it was given is not sent any more: there
/// would be no time left to hear of it. One whose turn came just before may be sent again
/// when its fate has been told already; it keeps its place, for the line waits for it.
const TURN: Duration = Duration::from_secs(3);

/// Zstd's fastest, as in Milvus.
const LEVEL: i32 = 1;

/// What a line is asked for.
pub(super) struct Job {
    pub(super) what: Work,
    /// That of the term; when it is over the job is given up.
    pub(super) session: Arc<Session>,
    pub(super) given: BootInstant,
}

pub(super) enum Work {
    /// Have the topic made, and be ready for messages.
    Open(oneshot::Sender<Result<(), QueueError>>),
    Send(Message, oneshot::Sender<Result<MessageId, QueueError>>),
}

impl Job {
    fn answer(self, error: QueueError) {
        match self.what {
            Work::Open(answer) => _ = answer.send(Err(error)),
            Work::Send(_, answer) => _ = answer.send(Err(error)),
        }
    }
}

/// The front of a line; dropping it ends the line.
pub(super) struct Line(mpsc::Sender<Job>);

impl Line {
    pub(super) fn begin(channel: &str, access: &Arc<Access>, tasks: &tokio_util::task::TaskTracker) -> Self {
        let (front, jobs) = mpsc::channel(LENGTH);
        let sender = Sender {
            channel: channel.to_owned(),
            topic: access.topic(channel),
            access: Arc::clone(access),
            producer: State::None,
        };
        tasks.spawn(sender.run(jobs));
        Self(front)
    }

    /// Puts it at the end. Waits for nothing.
    pub(super) fn put(&self, job: Job, access: &Access) {
        match self.0.try_send(job) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(job)) => {
                job.answer(access.unreachable("too many messages wait already"));
            }
            Err(mpsc::error::TrySendError::Closed(job)) => job.answer(QueueError::Purged),
        }
    }
}

/// The other end of a line.
struct Sender {
    channel: String,
    topic: String,
    access: Arc<Access>,
    producer: State,
}

enum State {
    None,
    /// A task makes it. It must not be given up half-way: others may wait for the connection
    /// that it has begun.
    Opening(Place, oneshot::Receiver<Result<Producer<Tasks>, Error>>),
    Open(Place, Box<Producer<Tasks>>),
}

/// Of which session and client a producer is.
#[derive(Clone)]
struct Place {
    session: Arc<Session>,
    number: usize,
}

impl Sender {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(Job { what, session, given }) = jobs.recv().await {
            match what {
                Work::Open(answer) => {
                    let opened = self.open_in_term(&session, given + MESSAGE_TIMEOUT).await;
                    _ = answer.send(opened.map(|_| ()));
                }
                Work::Send(message, answer) => _ = answer.send(self.send(&session, message, given).await),
            }
            if session.is_over() {
                self.producer = State::None;
            }
        }
    }

    async fn send(
        &mut self,
        session: &Arc<Session>,
        message: Message,
        given: BootInstant,
    ) -> Result<MessageId, QueueError> {
        let stop = session.tasks.stop.clone();
        let (place, producer) = self.open_in_term(session, given + TURN).await?;
        let number = place.number;
        let sent = stop.run_until_cancelled(hand_over(producer, message)).await;
        match sent {
            // Nobody can tell whether it was on the wire.
            None => Err(self.access.unreachable("given up at the end of the term")),
            Some(Ok(receipt)) => {
                self.access.is_well();
                message_id(&receipt)
                    .ok_or_else(|| self.access.unreachable("the broker does not say where the message is"))
            }
            Some(Err(error)) => {
                self.access.heard("message", &error);
                let failure = self.access.failure(&error, &self.channel);
                if matches!(failure, QueueError::Refused { .. }) || session.has_later(number) {
                    self.producer = State::None;
                }
                Err(failure)
            }
        }
    }

    /// The producer, unless and until the session is over. Its end ends its client, too, which
    /// then looks like a broker that is not there; but nothing was handed over to be sent.
    async fn open_in_term(
        &mut self,
        session: &Arc<Session>,
        until: BootInstant,
    ) -> Result<(&Place, &mut Producer<Tasks>), QueueError> {
        match session.tasks.stop.run_until_cancelled(self.open(session, until)).await {
            Some(opened) if !session.is_over() => opened,
            Some(_) | None => Err(QueueError::Purged),
        }
    }

    /// The producer, which makes the topic if it is not there. Not later than `until`.
    async fn open(
        &mut self,
        session: &Arc<Session>,
        until: BootInstant,
    ) -> Result<(&Place, &mut Producer<Tasks>), QueueError> {
        let of_session = |place: &Place| Arc::ptr_eq(&place.session, session);
        let left = until.since(self.access.clock.boot());
        if left.is_zero() {
            return Err(self.access.unreachable("its turn did not come in time"));
        }
        match &self.producer {
            State::Opening(place, _) | State::Open(place, _) if of_session(place) => {}
            _ => {
                let Some(client) = session.client(left).await else {
                    return Err(self.access.unreachable("there is no connection"));
                };
                self.begin(session, client);
            }
        }
        if let State::Opening(place, opened) = &mut self.producer {
            let left = until.since(self.access.clock.boot());
            let Ok(opened) = timeout(left, opened).await else {
                return Err(self.access.unreachable("the topic is not open yet"));
            };
            let place = place.clone();
            self.producer = State::None;
            match opened {
                Ok(Ok(producer)) => {
                    if let Some(parts) = producer.partitions() {
                        let reason = format!("the topic has {} partitions; it must have none", parts.len());
                        return Err(self.access.refused(&self.channel, reason));
                    }
                    self.producer = State::Open(place, Box::new(producer));
                }
                Ok(Err(error)) => {
                    self.access.heard("topic", &error);
                    return Err(self.access.failure(&error, &self.channel));
                }
                Err(_) => return Err(self.access.unreachable("the client has ended")),
            }
        }
        match &mut self.producer {
            State::Open(place, producer) => Ok((&*place, &mut **producer)),
            State::None | State::Opening(..) => Err(self.access.unreachable("the topic is not open yet")),
        }
    }

    fn begin(&mut self, session: &Arc<Session>, numbered: Numbered) {
        let Numbered { number, client } = numbered;
        let (told, opened) = oneshot::channel();
        let options = ProducerOptions {
            compression: Some(Compression::Zstd(CompressionZstd { level: LEVEL })),
            ..ProducerOptions::default()
        };
        let builder = client.producer().with_topic(&self.topic).with_options(options);
        session.tasks.run(async move { _ = told.send(builder.build().await) });
        self.producer = State::Opening(Place { session: Arc::clone(session), number }, opened);
    }
}

/// Sends it, and waits for the acknowledgement.
async fn hand_over(
    producer: &mut Producer<Tasks>,
    message: Message,
) -> Result<pulsar::CommandSendReceipt, Error> {
    let outgoing = Outgoing {
        payload: message.payload.into(),
        properties: message.properties.into_iter().collect(),
        ..Outgoing::default()
    };
    producer.send_non_blocking(outgoing).await?.await
}
