//! Charts as SVG.

use anyhow::anyhow;
use plotters::prelude::*;

use crate::contender::{DIRECT, EMPTY, IPTABLES, KPROXY, KUBE_PROXY, NFTABLES, POD, SOCKET, TC, XDP};
use crate::samples::{Metric, Samples};
use crate::summary::{Row, figure};

const WIDTH: u32 = 900;
/// Of a bar with what is between it and the next.
const BAR: u32 = 34;
const LINES: u32 = 340;
const FONT: &str = "system-ui, sans-serif";

/// Okabe and Ito's colours, which most people can tell from each other.
const OURS: [RGBColor; 4] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];
const GREY: RGBColor = RGBColor(140, 149, 159);

fn colour(name: &str, place: usize) -> RGBColor {
    match name {
        DIRECT | EMPTY => GREY,
        IPTABLES => RGBColor(213, 94, 0),
        NFTABLES => RGBColor(230, 159, 0),
        KUBE_PROXY => RGBColor(120, 94, 10),
        // The same in every chart.
        SOCKET | KPROXY => OURS[0],
        POD => OURS[1],
        XDP => OURS[2],
        TC => OURS[3],
        _ => OURS[place % OURS.len()],
    }
}

/// One bar for each row, with the least and the most.
pub(super) fn bars(rows: &[Row<'_>]) -> anyhow::Result<String> {
    let most = rows.iter().map(|row| row.spread.most).fold(0.0, f64::max);
    let most = if most > 0.0 { most } else { 1.0 };
    let count = u32::try_from(rows.len())?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, BAR * count + 30)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_right(70)
            .y_label_area_size(190)
            .x_label_area_size(24)
            // The first row is at the top.
            .build_cartesian_2d(0.0..most * 1.05, -f64::from(count)..0.0)
            .map_err(drawn)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .y_labels(0)
            .x_labels(6)
            .x_label_formatter(&|value| figure(*value))
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .bold_line_style(GREY.mix(0.25))
            .axis_style(GREY.mix(0.5))
            .draw()
            .map_err(drawn)?;
        for (place, row) in rows.iter().enumerate() {
            let top = -f64::from(u32::try_from(place)?);
            let (middle, fill) = (top - 0.5, colour(row.name, place));
            let spread = row.spread;
            let bar = Rectangle::new([(0.0, top - 0.18), (spread.median, top - 0.82)], fill.filled());
            let whisker = ErrorBar::new_horizontal(
                middle,
                spread.least,
                spread.median,
                spread.most,
                BLACK.stroke_width(1),
                8,
            );
            chart.draw_series([bar]).map_err(drawn)?;
            chart.draw_series([whisker]).map_err(drawn)?;
            let (x, y) = chart.backend_coord(&(0.0, middle));
            let name = (FONT, 14).into_text_style(&area).pos(right());
            area.draw(&Text::new(row.name, (x - 8, y), name)).map_err(drawn)?;
            let (x, y) = chart.backend_coord(&(spread.most, middle));
            let value = (FONT, 13).into_text_style(&area).pos(left());
            area.draw(&Text::new(figure(spread.median), (x + 8, y), value))
                .map_err(drawn)?;
        }
        area.present().map_err(drawn)?;
    }
    Ok(svg)
}

/// One line for each contender over the numbers of services, which stand side by side as they are.
pub(super) fn lines(samples: &Samples, metric: Metric) -> anyhow::Result<String> {
    let sizes = samples.sizes(metric);
    let last = f64::from(u32::try_from(sizes.len())?) - 1.0;
    let mut names: Vec<String> = Vec::new();
    for row in crate::summary::rows(samples, metric, sizes[0]) {
        names.push(row.name.to_owned());
    }
    let found = |name: &str| -> Vec<(f64, f64)> {
        let points = (0_u32..).zip(&sizes).filter_map(|(place, size)| {
            let values = samples.of(metric, *size, name)?;
            Some((f64::from(place), crate::samples::Spread::of(values)?.median))
        });
        points.collect()
    };
    let most = names
        .iter()
        .flat_map(|name| found(name))
        .map(|(_, value)| value)
        .fold(0.0, f64::max);
    let most = if most > 0.0 { most } else { 1.0 };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, LINES)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .margin_right(30)
            .y_label_area_size(70)
            .x_label_area_size(30)
            // The legend has the right for itself.
            .build_cartesian_2d(-0.1..last * 1.3 + 0.1, 0.0..most * 1.1)
            .map_err(drawn)?;
        let size_at = |place: &f64| {
            let nearest = place.round();
            let is_one = (place - nearest).abs() < 0.01;
            let found = (0_u32..)
                .zip(&sizes)
                .find(|(it, _)| is_one && (f64::from(*it) - nearest).abs() < 0.5);
            found.map_or_else(String::new, |(_, size)| size.to_string())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(sizes.len() + 2)
            .x_label_formatter(&size_at)
            .y_label_formatter(&|value| figure(*value))
            .label_style((FONT, 13))
            .light_line_style(TRANSPARENT)
            .bold_line_style(GREY.mix(0.25))
            .axis_style(GREY.mix(0.5))
            .draw()
            .map_err(drawn)?;
        for (place, name) in names.iter().enumerate() {
            let (line, points) = (colour(name, place), found(name));
            chart
                .draw_series(LineSeries::new(points.iter().copied(), line.stroke_width(2)))
                .map_err(drawn)?
                .label(name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], line.stroke_width(3)));
            chart
                .draw_series(points.iter().map(|point| Circle::new(*point, 4, line.filled())))
                .map_err(drawn)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.85))
            .label_font((FONT, 13))
            .draw()
            .map_err(drawn)?;
        area.present().map_err(drawn)?;
    }
    Ok(svg)
}

fn right() -> plotters::style::text_anchor::Pos {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    Pos::new(HPos::Right, VPos::Center)
}

fn left() -> plotters::style::text_anchor::Pos {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    Pos::new(HPos::Left, VPos::Center)
}

/// Its errors borrow what is drawn on.
fn drawn(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw a chart: {error}")
}
