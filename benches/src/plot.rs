//! One figure as a picture: a bar for each system, with a whisker from its least to its greatest.

use std::path::Path;

use plotters::prelude::*;

use crate::error::{BenchError, Result};
use crate::stats::Spread;
use crate::system::System;

const SIZE: (u32, u32) = (640, 260);

type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Draws the picture, unless there is nothing to compare.
pub(crate) fn draw(path: &Path, title: &str, figure: &str, bars: &[(System, Spread)]) -> Result<()> {
    if bars.len() < 2 {
        return Ok(());
    }
    paint(path, title, figure, bars)
        .map_err(|error| BenchError::Void(format!("cannot draw {}: {error}", path.display())))
}

fn paint(path: &Path, title: &str, figure: &str, bars: &[(System, Spread)]) -> Drawn {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let most = bars.iter().map(|(_, spread)| spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 13))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..most * 1.05, 0.0..bars.len() as f64)?;
    let name = |height: &f64| {
        let is_middle = (height.fract() - 0.5).abs() < 1e-6;
        let bar = bars.get(*height as usize).filter(|_| is_middle);
        bar.map_or_else(String::new, |(system, _)| system.to_string())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(2 * bars.len() + 1)
        .y_label_formatter(&name)
        .x_desc(figure)
        .draw()?;
    for (index, (system, spread)) in bars.iter().enumerate() {
        let bottom = index as f64;
        let color = match system {
            System::Floor => RGBColor(150, 150, 150),
            System::Ottla => RGBColor(30, 110, 190),
            System::Kafka => RGBColor(210, 120, 40),
        };
        let bar = Rectangle::new([(0.0, bottom + 0.2), (spread.median, bottom + 0.8)], color.filled());
        let middle = bottom + 0.5;
        let whisker = PathElement::new([(spread.min, middle), (spread.max, middle)], BLACK.stroke_width(2));
        chart.draw_series([bar])?;
        chart.draw_series([whisker])?;
    }
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_names_its_systems_and_its_figure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plot.svg");
        let spread = |median| Spread { median, min: median * 0.9, max: median * 1.1 };
        let bars =
            [(System::Floor, spread(10.0)), (System::Ottla, spread(9.0)), (System::Kafka, spread(4.0))];
        draw(&path, "a row", "MB/s", &bars).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for text in ["floor", "ottla", "kafka", "MB/s", "a row"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        draw(&dir.path().join("none.svg"), "a row", "MB/s", &bars[..1]).unwrap();
        assert!(!dir.path().join("none.svg").exists());
    }
}
