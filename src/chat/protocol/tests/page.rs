//! The page, taken apart: its scenes, its tables.

/// The text of the page.
pub(super) const PAGE: &str = include_str!("../../protocol.md");

/// One example.
#[derive(Debug)]
pub(super) struct Scene {
    /// What it stands under: the scenes of one heading share a server.
    pub(super) heading: &'static str,
    pub(super) steps: Vec<Step>,
}

/// One line of an example, with those that go on with it.
#[derive(Debug)]
pub(super) struct Step {
    /// Where it stands on the page.
    pub(super) line: usize,
    pub(super) event: Event,
}

#[derive(Debug)]
pub(super) enum Event {
    /// `ann → …`
    Says(&'static str, String),
    /// `ann ← …`
    Gets(&'static str, String),
    /// `ann ← close 4003 replaced`
    IsClosed(&'static str, String),
    /// `… ann's line is lost`
    Direction(&'static str),
}

/// All examples, in their order.
pub(super) fn scenes() -> Vec<Scene> {
    let (mut scenes, mut heading, mut is_inside) = (Vec::new(), "", false);
    for (index, line) in PAGE.lines().enumerate() {
        match line {
            "```json" => {
                is_inside = true;
                scenes.push(Scene { heading, steps: Vec::new() });
            }
            "```" => is_inside = false,
            _ if is_inside => {
                let steps = &mut scenes.last_mut().expect("an example has begun").steps;
                match (line.strip_prefix(' '), steps.last_mut()) {
                    (Some(rest), Some(step)) => step.go_on(rest.trim_start()),
                    _ => steps.push(Step { line: index + 1, event: event(line) }),
                }
            }
            _ if line.starts_with('#') => heading = line,
            _ => {}
        }
    }
    assert!(!is_inside && scenes.len() > 10, "the examples were not found");
    let full = scenes.iter().flat_map(|scene| &scene.steps).find_map(Step::welcome).expect("a welcome").to_owned();
    for step in scenes.iter_mut().flat_map(|scene| &mut scene.steps) {
        step.fill_in(&full);
    }
    scenes
}

fn event(line: &'static str) -> Event {
    if let Some(direction) = line.strip_prefix("… ") {
        return Event::Direction(direction);
    }
    if let Some((name, text)) = line.split_once(" → ") {
        return Event::Says(name, text.to_owned());
    }
    let (name, text) = line.split_once(" ← ").unwrap_or_else(|| panic!("what does this line say? {line}"));
    match text.strip_prefix("close ") {
        Some(close) => Event::IsClosed(name, close.to_owned()),
        None => Event::Gets(name, text.to_owned()),
    }
}

impl Step {
    fn go_on(&mut self, rest: &str) {
        match &mut self.event {
            Event::Says(_, text) | Event::Gets(_, text) => text.push_str(rest),
            event => panic!("nothing goes on with {event:?}"),
        }
    }

    fn welcome(&self) -> Option<&str> {
        match &self.event {
            Event::Gets(_, text) if text.starts_with(r#"{"type":"welcome""#) => Some(text),
            _ => None,
        }
    }

    /// What a later welcome leaves out stands in the first one: behind its `session`, and behind `resumed`.
    fn fill_in(&mut self, full: &str) {
        let Event::Gets(_, text) = &mut self.event else { return };
        let session = between(text, r#""session":"s_"#, r#",…,"resumed""#);
        let Some(name) = session.and_then(|session| session.split('"').next()).map(str::to_owned) else { return };
        let token = between(full, r#""session":"s_ann","#, r#","resumed""#).expect("the token").replace("ann", &name);
        let limits = between(full, r#""resumed":false,"#, r#","rooms":{"#).expect("the limits");
        *text = text.replacen('…', &token, 1).replacen('…', limits, 1);
    }
}

/// What stands between two texts.
pub(super) fn between<'t>(text: &'t str, from: &str, to: &str) -> Option<&'t str> {
    let (_, text) = text.split_once(from)?;
    text.split_once(to).map(|(inside, _)| inside)
}

/// The rows of the table with this header, each as its cells.
pub(super) fn table(header: &str) -> Vec<Vec<&'static str>> {
    let mut lines = PAGE.lines().skip_while(|line| *line != header).skip(2);
    let rows: Vec<Vec<&str>> = std::iter::from_fn(|| lines.next().filter(|line| line.starts_with('|')))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "there is no table {header}");
    rows
}

/// The first word in backticks.
pub(super) fn word(cell: &str) -> &str {
    between(cell, "`", "`").unwrap_or_else(|| panic!("no word in {cell:?}"))
}
