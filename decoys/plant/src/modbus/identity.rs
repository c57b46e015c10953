//! What the controller says about itself: functions 17 and 43/14 (the protocol, sections 6.13 and
//! 6.21).

use super::{Exception, IllegalDataAddress, IllegalDataValue, IllegalFunction, ModbusSettings};

/// Most bytes that the objects of one answer may take: a PDU's 253 without what precedes them.
const MAX_OBJECTS: usize = 246;
/// `Read Device Identification`.
const READ_DEVICE_ID: u8 = 14;
/// Basic and regular objects, as a stream and one by one.
const CONFORMITY: u8 = 0x82;
/// The last object that is mandatory.
const LAST_BASIC: u8 = 2;

/// The objects there are, by number.
pub(super) struct Identity {
    objects: Vec<(u8, Vec<u8>)>,
    product: Vec<u8>,
}

impl Identity {
    pub(super) fn new(settings: &ModbusSettings) -> Self {
        let texts = [
            &settings.vendor_name,
            &settings.product_code,
            &settings.revision,
            &settings.vendor_url,
            &settings.product_name,
            &settings.model_name,
            &settings.application_name,
        ];
        let objects = (0_u8..).zip(texts);
        Self {
            objects: objects
                .filter(|(id, text)| *id <= LAST_BASIC || !text.is_empty())
                .map(|(id, text)| (id, text.clone().into_bytes()))
                .collect(),
            product: settings.product_name.clone().into_bytes(),
        }
    }

    /// Function 17: id, that it runs, and its product.
    pub(super) fn server_id(&self) -> Vec<u8> {
        let length = u8::try_from(self.product.len().saturating_add(2)).unwrap_or(2);
        let mut body = vec![length, 1, 0xff];
        body.extend(&self.product);
        body
    }

    /// Function 43.
    pub(super) fn read(&self, data: &[u8]) -> Result<Vec<u8>, Exception> {
        let (mei, rest) = data.split_first().ok_or(IllegalDataValue)?;
        if *mei != READ_DEVICE_ID {
            return Err(IllegalFunction);
        }
        let [code, first] = rest else {
            return Err(IllegalDataValue);
        };
        let mut body = vec![READ_DEVICE_ID, *code, CONFORMITY];
        let last = match code {
            1 => LAST_BASIC,
            // There are no extended objects: who asks for them gets the regular ones.
            2 | 3 => u8::MAX,
            4 => {
                let object = self.objects.iter().find(|(id, _)| id == first);
                let (id, text) = object.ok_or(IllegalDataAddress)?;
                body.extend([0, 0, 1, *id, u8::try_from(text.len()).unwrap_or(0)]);
                body.extend(text);
                return Ok(body);
            }
            _ => return Err(IllegalDataValue),
        };
        // A stream from an object that isn't there begins anew.
        let known = self
            .objects
            .iter()
            .any(|(id, _)| id == first && *id <= last);
        let first = if known { *first } else { 0 };
        let mut wanted = self
            .objects
            .iter()
            .filter(|(id, _)| (first..=last).contains(id))
            .peekable();
        let (mut objects, mut count) = (Vec::new(), 0_u8);
        while let Some((id, text)) = wanted.next_if(|(_, text)| {
            let more = text.len().saturating_add(2);
            objects.len().saturating_add(more) <= MAX_OBJECTS
        }) {
            objects.extend([*id, u8::try_from(text.len()).unwrap_or(0)]);
            objects.extend(text);
            count = count.saturating_add(1);
        }
        let (more, next) = wanted.peek().map_or((0, 0), |(id, _)| (0xff, *id));
        body.extend([more, next, count]);
        body.extend(objects);
        Ok(body)
    }
}
