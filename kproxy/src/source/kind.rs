//! The Kubernetes types that sources read, and what becomes of them.

use k8s_openapi::api::core::v1::{Node as NodeObject, Service as ServiceObject};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;

use super::{Change, News};
use crate::model::{Kind, Node, ObjectName, Parsed, Problem, Service, ServiceCidr, Slice};

/// A Kubernetes type that kproxy reads.
pub(super) trait Object:
    kube::Resource<DynamicType = ()> + k8s_openapi::Metadata<Ty = ObjectMeta> + DeserializeOwned + Send + 'static
{
    /// Its kind.
    const OF: Kind;
    /// What it is parsed into.
    type Model: Send;

    /// Parses it.
    fn parse(self) -> Result<Parsed<Self::Model>, Problem>;
    /// Wraps a change of it.
    fn news(change: Change<Self::Model>) -> News;

    /// The news that an object is new or has changed.
    fn applied(self) -> News {
        Self::news(self.parse().map_or_else(Change::Rejected, Change::Applied))
    }

    /// The news that an object is gone.
    fn removed(self) -> News {
        Self::news(ObjectName::of(Self::OF, self.metadata()).map_or_else(Change::Rejected, Change::Removed))
    }
}

macro_rules! objects {
    ($($object:ident => $kind:ident, $news:ident($model:ident);)*) => {$(
        impl Object for $object {
            const OF: Kind = Kind::$kind;
            type Model = $model;

            fn parse(self) -> Result<Parsed<$model>, Problem> {
                self.try_into()
            }

            fn news(change: Change<$model>) -> News {
                News::$news(change)
            }
        }
    )*};
}

objects! {
    ServiceObject => Service, Service(Service);
    EndpointSlice => EndpointSlice, Slice(Slice);
    NodeObject => Node, Node(Node);
    ServiceCIDR => ServiceCidr, ServiceCidr(ServiceCidr);
}
