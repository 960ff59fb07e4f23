//! The recogniser: lines of text in, their characters out.

use std::ops::Range;

use image::RgbImage;
use ort::value::TensorRef;

use super::boxes::Quad;
use super::card::{Model, RecogniserCard};
use super::crop;
use super::{OcrError, ReadOptions, TextBox, Word};
use crate::runtime::SessionPool;

/// Boxes this many times taller than wide hold text that runs up or down (the reference's figure).
const TALL: f32 = 1.5;
/// Boxes taller than this hold no upright text.
const TOO_TALL_TO_STAND: f32 = 3.0;
/// A line that is read with less confidence may stand upside down.
const DOUBTFUL: f32 = 0.75;
/// To this width shorter lines are padded in training, so that they are read best with it.
const TRAINED_WIDTH: usize = 320;
/// Least room after a line at the first reading, pixels; with it widths are rounded up to whole [`TIGHT_STEP`]s.
const TIGHT_ROOM: usize = 8;
const TIGHT_STEP: usize = 32;
/// Confidence of a first reading from which there is something to read, and from which it is read: between
/// them a line is read again in the width of training. On real photos that takes three fifths of the work of
/// padding all lines, and reads as many names (`benches/RESULTS.md`).
const UNSETTLED: Range<f32> = 0.4..0.9;
/// Lines in one run of the network.
const MAX_BATCH: usize = 8;
/// Widest run, lines × pixels: bounds the memory that the answer takes (18,710 numbers per 8 pixels: 38 MB).
const MAX_BATCH_WIDTH: usize = 4096;

pub(super) struct Recogniser {
    sessions: SessionPool,
    card: RecogniserCard,
    characters: Vec<String>,
}

/// Text and mean probability of its characters.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Reading {
    pub text: String,
    pub confidence: f32,
}

impl Reading {
    /// Order between readings of the same box turned differently: single strokes look like letters
    /// whichever way they are turned, so that length counts.
    fn credibility(&self) -> f32 {
        let n_letters = self.text.chars().filter(|c| c.is_alphanumeric()).count();
        self.confidence * (1.0 - 0.5f32.powi(n_letters.min(16) as i32))
    }
}

impl Recogniser {
    pub fn open(model: Model, n_sessions: usize) -> Result<Self, OcrError> {
        let mut characters = model.characters;
        characters.push(" ".to_owned());
        Ok(Self {
            sessions: SessionPool::open(&model.recogniser, n_sessions)?,
            card: model.card.recogniser,
            characters,
        })
    }

    pub fn words(
        &self,
        picture: &RgbImage,
        boxes: &[TextBox],
        options: &ReadOptions,
    ) -> Result<Vec<Word>, OcrError> {
        let quads: Vec<Quad> = boxes
            .iter()
            .map(|found| first_reading(&found.quad))
            .collect();
        let readings = self.read(picture, &quads)?;
        let mut words: Vec<Word> = quads.iter().zip(readings).map(into_word).collect();
        if options.try_turned {
            self.improve_by_turning(picture, boxes, &mut words)?;
        }
        words.retain(|word| {
            word.confidence >= options.min_confidence && !word.text.trim().is_empty()
        });
        Ok(words)
    }

    /// Reads doubtful boxes in their other directions and keeps the most credible reading.
    fn improve_by_turning(
        &self,
        picture: &RgbImage,
        boxes: &[TextBox],
        words: &mut [Word],
    ) -> Result<(), OcrError> {
        let mut owners = Vec::new();
        let mut quads = Vec::new();
        for (owner, (found, word)) in boxes.iter().zip(words.iter()).enumerate() {
            for quad in other_readings(&found.quad, word.confidence) {
                owners.push(owner);
                quads.push(quad);
            }
        }
        let readings = self.read(picture, &quads)?;
        for ((owner, quad), reading) in owners.into_iter().zip(&quads).zip(readings) {
            let known = Reading {
                text: words[owner].text.clone(),
                confidence: words[owner].confidence,
            };
            if reading.credibility() > known.credibility() {
                words[owner] = into_word((quad, reading));
            }
        }
        Ok(())
    }

    /// What stands in each of `quads`, in the same order.
    fn read(&self, picture: &RgbImage, quads: &[Quad]) -> Result<Vec<Reading>, OcrError> {
        let lines: Vec<RgbImage> = quads
            .iter()
            .map(|quad| crop::line(picture, quad, self.card.height))
            .collect();
        let all: Vec<usize> = (0..lines.len()).collect();
        let mut readings = vec![Reading::default(); lines.len()];
        self.read_padded(&lines, &all, tight_width, &mut readings)?;
        let unsettled: Vec<usize> = all
            .into_iter()
            .filter(|&i| {
                tight_width(width_of(&lines[i])) < TRAINED_WIDTH
                    && UNSETTLED.contains(&readings[i].confidence)
            })
            .collect();
        self.read_padded(&lines, &unsettled, trained_width, &mut readings)?;
        Ok(readings)
    }

    /// Reads the `chosen` of `lines`, each in a width that `padded` makes of its own.
    fn read_padded(
        &self,
        lines: &[RgbImage],
        chosen: &[usize],
        padded: fn(usize) -> usize,
        readings: &mut [Reading],
    ) -> Result<(), OcrError> {
        let widths: Vec<usize> = lines.iter().map(|line| padded(width_of(line))).collect();
        let mut order = chosen.to_vec();
        order.sort_by_key(|&i| widths[i]);
        for batch in batches(&order, &widths) {
            let members = &order[batch];
            // Narrow first: the last one is the widest.
            let width = members.last().map_or(TIGHT_STEP, |&i| widths[i]);
            let pictures: Vec<&RgbImage> = members.iter().map(|&i| &lines[i]).collect();
            for (&i, reading) in members.iter().zip(self.run(&pictures, width)?) {
                readings[i] = reading;
            }
        }
        Ok(())
    }

    /// What stands in `lines`, padded to `width` pixels.
    fn run(&self, lines: &[&RgbImage], width: usize) -> Result<Vec<Reading>, OcrError> {
        let height = self.card.height as usize;
        let input = self.input(lines, width);
        let shape = [lines.len(), 3, height, width];
        let mut session = self.sessions.acquire();
        let outputs = session.run(ort::inputs![TensorRef::from_array_view((shape, &*input))?])?;
        let (shape, values) = outputs[0].try_extract_tensor::<f32>()?;
        let n_classes = self.characters.len() + 1;
        match **shape {
            [n, steps, classes] if n as usize == lines.len() && classes as usize == n_classes => {
                let per_line = (steps as usize * n_classes).max(1);
                Ok(values
                    .chunks_exact(per_line)
                    .map(|line| decode(line, &self.characters))
                    .collect())
            }
            _ => Err(OcrError::UnexpectedShape {
                network: "recogniser",
                expected: format!("[{}, steps, {n_classes}]", lines.len()),
                actual: shape.iter().map(|&n| n as usize).collect(),
            }),
        }
    }

    /// `[lines, 3, height, width]`: blue, green, red, normalised, 0 beyond the end of a line.
    fn input(&self, lines: &[&RgbImage], width: usize) -> Vec<f32> {
        let plane = self.card.height as usize * width;
        let mut input = vec![0.0; lines.len() * 3 * plane];
        for (line, planes) in lines.iter().zip(input.chunks_exact_mut(3 * plane)) {
            for (i, values) in planes.chunks_exact_mut(plane).enumerate() {
                let scale = 1.0 / (255.0 * self.card.std[i]);
                let shift = -self.card.mean[i] / self.card.std[i];
                for (row, pixels) in values.chunks_exact_mut(width).zip(line.rows()) {
                    for (value, pixel) in row.iter_mut().zip(pixels) {
                        *value = f32::from(pixel[2 - i]) * scale + shift;
                    }
                }
            }
        }
        input
    }
}

fn width_of(line: &RgbImage) -> usize {
    line.width() as usize
}

fn tight_width(width: usize) -> usize {
    (width + TIGHT_ROOM).next_multiple_of(TIGHT_STEP)
}

fn trained_width(width: usize) -> usize {
    width.max(TRAINED_WIDTH)
}

fn into_word((quad, reading): (&Quad, Reading)) -> Word {
    Word {
        text: reading.text,
        confidence: reading.confidence,
        quad: *quad,
    }
}

fn is_tall(quad: &Quad, ratio: f32) -> bool {
    let (w, h) = crop::extent(quad);
    h.floor() / w.floor() >= ratio
}

/// The direction in which a box is read first: as it stands, tall ones from top to bottom's left.
fn first_reading(quad: &Quad) -> Quad {
    if is_tall(quad, TALL) {
        crop::turned_quarter(quad)
    } else {
        *quad
    }
}

/// The directions that are worth a second look.
fn other_readings(quad: &Quad, confidence: f32) -> Vec<Quad> {
    if is_tall(quad, TALL) {
        let mut quads = vec![crop::turned_half(&crop::turned_quarter(quad))];
        if !is_tall(quad, TOO_TALL_TO_STAND) {
            quads.push(*quad);
        }
        quads
    } else if confidence < DOUBTFUL {
        vec![crop::turned_half(quad)]
    } else {
        Vec::new()
    }
}

/// Cuts `order` (positions in `widths`, narrow first) into runs of lines of similar width.
fn batches(order: &[usize], widths: &[usize]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let mut start = 0;
    for end in 1..=order.len() {
        let full = end == order.len() || {
            let n = end + 1 - start;
            let widest = widths[order[end]];
            // A quarter more of padding costs as much as a run of its own.
            n > MAX_BATCH || n * widest > MAX_BATCH_WIDTH || 4 * widest > 5 * widths[order[start]]
        };
        if full {
            batches.push(start..end);
            start = end;
        }
    }
    batches
}

/// Greedy CTC: the best class of every step, repeats joined, blanks (class 0) dropped. `steps` holds
/// the probabilities of all classes, step by step; class `i` is `characters[i - 1]`.
fn decode(steps: &[f32], characters: &[String]) -> Reading {
    let mut text = String::new();
    let (mut sum, mut count) = (0.0, 0u32);
    let mut last = 0;
    for step in steps.chunks_exact(characters.len() + 1) {
        let (class, probability) = best(step);
        if class != 0 && class != last {
            text.push_str(&characters[class - 1]);
            sum += probability;
            count += 1;
        }
        last = class;
    }
    Reading {
        text,
        confidence: if count == 0 { 0.0 } else { sum / count as f32 },
    }
}

/// First class of greatest probability.
fn best(step: &[f32]) -> (usize, f32) {
    step.iter()
        .enumerate()
        .fold((0, f32::MIN), |best, (class, &probability)| {
            if probability > best.1 {
                (class, probability)
            } else {
                best
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn characters() -> Vec<String> {
        ["a", "b", " "].map(str::to_owned).to_vec()
    }

    /// Steps at which one class has the given probability and the others share the rest.
    fn steps(best: &[(usize, f32)]) -> Vec<f32> {
        best.iter()
            .flat_map(|&(class, probability)| {
                (0..4).map(move |i| {
                    if i == class {
                        probability
                    } else {
                        (1.0 - probability) / 3.0
                    }
                })
            })
            .collect()
    }

    #[test]
    fn repeats_join_unless_a_blank_parts_them() {
        struct Case(&'static [(usize, f32)], &'static str, f32);
        for Case(best, text, confidence) in [
            Case(&[(1, 0.9), (1, 0.8), (2, 0.7)], "ab", 0.8),
            Case(&[(1, 0.9), (0, 0.9), (1, 0.7)], "aa", 0.8),
            Case(&[(0, 0.9), (0, 0.9)], "", 0.0),
            Case(&[(2, 1.0), (3, 1.0), (1, 1.0)], "b a", 1.0),
            Case(&[], "", 0.0),
        ] {
            let reading = decode(&steps(best), &characters());
            assert_eq!(reading.text, text);
            assert!(
                (reading.confidence - confidence).abs() < 1e-5,
                "{reading:?}"
            );
        }
    }

    #[test]
    fn batches_hold_all_lines_once_and_stay_small() {
        let widths: Vec<usize> = (0..40).map(|i| 30 + i * i * 2).collect();
        let order: Vec<usize> = (0..40).collect();
        let batches = batches(&order, &widths);
        let covered: Vec<usize> = batches.iter().cloned().flatten().collect();
        assert_eq!(covered, order);
        for batch in batches {
            let n = batch.len();
            assert!(n <= MAX_BATCH && (n == 1 || n * widths[batch.end - 1] <= MAX_BATCH_WIDTH));
        }
    }

    #[test]
    fn tall_boxes_are_read_along_their_length() {
        let quad = |w: f32, h: f32| [[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]];
        assert_eq!(first_reading(&quad(90.0, 20.0)), quad(90.0, 20.0));
        assert_eq!(first_reading(&quad(20.0, 90.0))[0], [20.0, 0.0]);
        assert_eq!(other_readings(&quad(20.0, 90.0), 1.0).len(), 1);
        assert_eq!(other_readings(&quad(20.0, 40.0), 1.0).len(), 2);
        assert_eq!(other_readings(&quad(90.0, 20.0), 0.5).len(), 1);
        assert!(other_readings(&quad(90.0, 20.0), 0.9).is_empty());
    }

    #[test]
    fn a_long_reading_beats_a_surer_stroke() {
        let reading = |text: &str, confidence| Reading {
            text: text.to_owned(),
            confidence,
        };
        assert!(reading("Arla", 0.8).credibility() > reading("1", 0.99).credibility());
        assert_eq!(reading("--", 1.0).credibility(), 0.0);
    }
}
