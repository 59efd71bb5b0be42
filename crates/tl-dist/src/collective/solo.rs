//! One process, alone.

use super::{Collective, is_length, is_rank, one_each};
use crate::Result;

/// A job of one rank: every operation gives back what it got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

impl Collective for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        Ok(numbers)
    }

    fn all_to_all(&self, send: Vec<Vec<f32>>, lengths: &[usize]) -> Result<Vec<Vec<f32>>> {
        one_each("all_to_all", send.len(), 1)?;
        one_each("all_to_all", lengths.len(), 1)?;
        is_length("all_to_all", 0, send[0].len(), lengths[0])?;
        Ok(send)
    }

    fn all_gather(&self, own: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>> {
        one_each("all_gather", lengths.len(), 1)?;
        is_length("all_gather", 0, own.len(), lengths[0])?;
        Ok(own)
    }

    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<u8>> {
        is_rank("broadcast", root, 1)?;
        Ok(bytes)
    }

    fn gather(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<Vec<u8>>> {
        is_rank("gather", root, 1)?;
        Ok(vec![bytes])
    }

    fn barrier(&self) -> Result<()> {
        Ok(())
    }
}
