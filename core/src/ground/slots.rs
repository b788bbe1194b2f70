//! A table whose places are reused, the lowest free one first.

/// Values at small numbers that stay put while they live.
#[derive(Debug)]
pub struct Slots<T> {
    places: Vec<Option<T>>,
    free: std::collections::BinaryHeap<std::cmp::Reverse<u32>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { places: Vec::new(), free: Default::default() }
    }
}

impl<T> Slots<T> {
    /// Puts `value` at the lowest free place.
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(std::cmp::Reverse(at)) = self.free.pop() {
            self.places[at as usize] = Some(value);
            return at;
        }
        let at = u32::try_from(self.places.len()).expect("limits keep every table far below 2^32 places");
        self.places.push(Some(value));
        at
    }

    /// Takes the value out and frees its place.
    pub fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.places.get_mut(at as usize)?.take()?;
        self.free.push(std::cmp::Reverse(at));
        Some(value)
    }

    /// The value at `at`, if the place is taken.
    #[must_use]
    pub fn get(&self, at: u32) -> Option<&T> {
        self.places.get(at as usize)?.as_ref()
    }

    /// The value at `at`, if the place is taken.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.places.get_mut(at as usize)?.as_mut()
    }

    /// How many places are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether no place is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All taken places, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(&self.places).filter_map(|(at, place)| place.as_ref().map(|value| (at, value)))
    }

    /// All taken places, in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0u32..).zip(&mut self.places).filter_map(|(at, place)| place.as_mut().map(|value| (at, value)))
    }
}

impl<T> std::ops::Index<u32> for Slots<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        self.get(at).expect("a number that is kept names a taken place")
    }
}

impl<T> std::ops::IndexMut<u32> for Slots<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        self.get_mut(at).expect("a number that is kept names a taken place")
    }
}
