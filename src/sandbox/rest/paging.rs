//! Lists in pages, with GitHub's `Link` header.

use serde_json::{Value, json};

use super::super::http::Reply;
use super::{Answer, Call, refuse};

impl Call<'_> {
    /// One page of a list: 30 items unless asked, 100 at most.
    pub(super) fn page(&self, items: Vec<Value>) -> Answer {
        let (items, link) = self.cut(items)?;
        Ok(with_link(Reply::json(200, Value::Array(items)), link))
    }

    /// One page of a list inside an object with `total_count`.
    pub(super) fn page_in(&self, field: &str, items: Vec<Value>) -> Answer {
        let total = items.len();
        let (items, link) = self.cut(items)?;
        Ok(with_link(Reply::json(200, json!({ "total_count": total, field: items })), link))
    }

    fn cut(&self, items: Vec<Value>) -> Result<(Vec<Value>, Option<String>), Reply> {
        let number = |name: &str, default: usize| match self.request.param(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| refuse(400, &format!("{name} is not a number"))),
        };
        let size = number("per_page", 30)?.clamp(1, 100);
        let page = number("page", 1)?.max(1);
        let last = items.len().div_ceil(size).max(1);
        let link = |to: usize, rel: &str| {
            let others = url::form_urlencoded::parse(self.request.query.as_bytes())
                .filter(|(name, _)| name != "page")
                .chain(std::iter::once(("page".into(), to.to_string().into())));
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
            format!("<{}{}?{query}>; rel=\"{rel}\"", self.world.base_url, self.request.path)
        };
        let mut links = Vec::new();
        if page > 1 {
            links.push(link(page - 1, "prev"));
        }
        if page < last {
            links.push(link(page + 1, "next"));
            links.push(link(last, "last"));
        }
        if page > 1 {
            links.push(link(1, "first"));
        }
        let cut = items.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
        Ok((cut, (!links.is_empty()).then(|| links.join(", "))))
    }
}

fn with_link(reply: Reply, link: Option<String>) -> Reply {
    match link {
        Some(link) => reply.header("link", link),
        None => reply,
    }
}
