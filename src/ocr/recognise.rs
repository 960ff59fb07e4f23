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
/// Lines in one run of the network.
const MAX_BATCH: usize = 8;
/// Widest run, lines × pixels: bounds the memory that the answer takes (6,906 numbers per 8 pixels).
const MAX_BATCH_WIDTH: usize = 4096;

pub(super) struct Recogniser {
    sessions: SessionPool,
    card: RecogniserCard,
    characters: Vec<String>,
}

/// Text and mean probability of its characters.
#[derive(Debug, Clone, PartialEq)]
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
        let quads: Vec<Quad> = boxes.iter().map(|found| first_reading(&found.quad)).collect();
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
        let widths: Vec<usize> = quads
            .iter()
            .map(|quad| crop::line_width(quad, self.card.height) as usize)
            .collect();
        let mut order: Vec<usize> = (0..quads.len()).collect();
        order.sort_by_key(|&i| widths[i]);
        let mut readings = vec![None; quads.len()];
        for batch in batches(&order, &widths) {
            let members = &order[batch];
            let lines: Vec<RgbImage> = members
                .iter()
                .map(|&i| crop::line(picture, &quads[i], self.card.height))
                .collect();
            for (&i, reading) in members.iter().zip(self.run(&lines)?) {
                readings[i] = Some(reading);
            }
        }
        Ok(readings.into_iter().flatten().collect())
    }

    fn run(&self, lines: &[RgbImage]) -> Result<Vec<Reading>, OcrError> {
        let height = self.card.height as usize;
        let width = lines.iter().map(|line| line.width()).max().unwrap_or(1) as usize;
        let width = width.max(min_width());
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
    fn input(&self, lines: &[RgbImage], width: usize) -> Vec<f32> {
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

fn min_width() -> usize {
    std::env::var("OCR_MIN_WIDTH").ok().and_then(|v| v.parse().ok()).unwrap_or(320)
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
            let widest = widths[order[end]].max(min_width());
            // A quarter more of padding costs as much as a run of its own.
            n > MAX_BATCH
                || n * widest > MAX_BATCH_WIDTH
                || 4 * widest > 5 * widths[order[start]].max(min_width())
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
