//! From a data folder to engines that know what is in it, and to the threads that keep it going. What is in the folder
//! is the affair of [`crate::log`].

use std::sync::{Arc, Mutex};

use offhook_core::log::record::{Body, Record};
use offhook_core::log::recovery::{Numbered, Recovered};
use offhook_core::{Config, Epoch, Now};

use crate::log::disk::{Disk, Files};
use crate::log::folder::Folder;
use crate::log::queue::Queue;
use crate::log::reader::Reader;
use crate::log::thread::{LogThread, OnFailure, Start};
use crate::process::Process;
use crate::shard::Shard;

/// Gives every engine what the folder holds, opens the next epoch, and starts the log's threads. The error is a sentence.
pub(crate) fn start(
    folder: &Folder,
    config: &Config,
    shards: &mut [Shard],
    process: &Arc<Process>,
) -> Result<LogThread, String> {
    let on_failure = Box::new(|text| {
        tracing::error!("{text}");
        std::process::exit(1);
    });
    start_over(folder, config, shards, process, |files| Box::new(files), on_failure)
}

/// As [`start`], with something between the log and its files, and something else to be done when that fails.
pub(crate) fn start_over(
    folder: &Folder,
    config: &Config,
    shards: &mut [Shard],
    process: &Arc<Process>,
    disk: impl FnOnce(Files) -> Box<dyn Disk>,
    on_failure: OnFailure,
) -> Result<LogThread, String> {
    let Some(clock) = shards.first().map(|shard| shard.clock) else {
        return Err("a server has one shard at least".to_owned());
    };
    let recovered = folder.recover()?;
    let now = clock.now();
    feed(folder, &recovered, shards, now)?;
    tell_what_was_found(&recovered);
    let (last, epoch) = (recovered.last, Epoch(now.wall.0.max(recovered.epoch.0 + 1)));
    let queue = Arc::new(Queue::default());
    process.log.keep(last, Arc::clone(&queue));
    let segments = Arc::new(Mutex::new(recovered.segments.clone()));
    let cannot = |error| format!("cannot start the log: {error}");
    let reader = Reader::start(folder.path(), Arc::clone(&segments), process).map_err(cannot)?;
    assert!(process.reader.set(reader).is_ok(), "a server starts once");
    let last_segment = recovered.end.map(|end| end.segment);
    let files = Files::new(folder.path(), config.limits.log_segment_bytes, last_segment).map_err(cannot)?;
    let mut opening = Record::of_epoch(epoch, last);
    opening.header.wall = now.wall;
    process.log.append_for_all(vec![opening]);
    LogThread::start(Start {
        process: Arc::clone(process),
        queue,
        segments,
        disk: disk(files),
        clock,
        epoch,
        recovered,
        shards: shards.len() as u16,
        config: config.clone(),
        on_failure,
    })
    .map_err(cannot)
}

/// Every engine gets all records; each on a thread of its own, a segment at a time.
fn feed(folder: &Folder, recovered: &Recovered, shards: &mut [Shard], now: Now) -> Result<(), String> {
    if let Some((epoch, before)) = recovered.beginning {
        let opening = Arc::new(Record::of_epoch(epoch, before));
        for shard in &mut *shards {
            shard.engine.recover(now, before, &opening);
            for record in &recovered.carried {
                shard.engine.carry(now, record);
            }
        }
    }
    for used in recovered.segments.iter() {
        let records: &[Numbered] = &folder.records(used.id, used.end)?;
        std::thread::scope(|scope| {
            for shard in &mut *shards {
                scope.spawn(move || {
                    for (seq, record) in records {
                        shard.engine.recover(now, *seq, record);
                    }
                });
            }
        });
    }
    Ok(())
}

fn tell_what_was_found(recovered: &Recovered) {
    if recovered.records > 0 {
        let carried = recovered.carried.len();
        tracing::info!("recovered {} records, {carried} of them carried over", recovered.records);
    }
    debug_assert!(!recovered.carried.iter().any(|record| matches!(record.body, Body::Event(_))));
}
